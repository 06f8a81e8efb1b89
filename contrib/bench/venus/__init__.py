# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Vulkan by Venus: what a real program's driver has sent, once more by vgpud and by libvirglrenderer alone.

``library``    libvirglrenderer with its render server, as far as Venus needs it
``ring``       a ring in shared memory, in which the driver has its commands executed
``recording``  what was recorded, and the file that has it
``record``     lets a program draw, and writes such a file
``replay``     does it all again, by whoever serves
``reference``  by the library, in a process of its own
``subject``    by vgpud
``rows``       what is measured
"""
