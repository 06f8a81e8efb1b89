# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tells the session what scanouts show of host blobs: it has the last picture when this process
dies, and the blob with it.
"""

from vgpud.device.dataplane import DataPlane
from vgpud.link.connection import Connection
from vgpud.link.messages import PictureGone, PictureMade


class Pictures:
    """Call ``tell`` after anything that may have changed what a scanout shows."""

    def __init__(self, plane: DataPlane, link: Connection) -> None:
        self._plane = plane
        self._link = link
        self._told: dict[int, int] = {}
        """Numbers of images, by scanouts."""

    def tell(self) -> None:
        shown = self._plane.scanouts_with_pictures()
        for scanout_id in [one for one in self._told if not shown >> one & 1]:
            del self._told[scanout_id]
            self._link.send(PictureGone(scanout_id))
        for scanout_id in range(shown.bit_length()):
            if shown >> scanout_id & 1:
                self._tell(scanout_id)

    def _tell(self, scanout_id: int) -> None:
        picture = self._plane.scanout_picture(scanout_id)
        if picture.image_id != self._told.get(scanout_id):
            self._told[scanout_id] = picture.image_id
            made = PictureMade(scanout_id, picture.width, picture.height)
            self._link.send(made, [picture.descriptor])

    def adopt(self, scanout_id: int, width: int, height: int, image_fd: int) -> None:
        """The session has this picture, whether it can be shown or not."""
        self._told[scanout_id] = 0
        try:
            self._plane.scanout_adopt_picture(scanout_id, width, height, image_fd)
        finally:
            self.tell()

    def forget(self) -> None:
        """Forgets all, as the session does: the device was reset."""
        self._told.clear()
