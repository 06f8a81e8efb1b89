/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Serves one viewer by RFB, the protocol of VNC, with libvncserver, in a process of its own: what a
 * viewer can break or hold up is himself.
 *
 * The viewer is sent what he asks for, as he asks for it; what changes meanwhile is merged.
 */
#ifndef VGPUD_VIEW_SERVER_H
#define VGPUD_VIEW_SERVER_H

/* [python] */
/*
 * Until the viewer leaves, or the session's end of the channel (view.h) closes: 0.  -EPROTO: what
 * the session said makes no sense; -EPIPE: the viewer was not taken; -ENOMEM.
 */
int view_serve(int channel);
/* [end python] */

#endif
