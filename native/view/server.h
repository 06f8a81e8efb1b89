/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Serves one viewer by RFB, the protocol of VNC, with libvncserver, in a process of its own: a
 * viewer can break or delay only itself.
 *
 * The viewer is sent what it asks for, when it asks; what changes meanwhile is merged.
 */
#ifndef VGPUD_VIEW_SERVER_H
#define VGPUD_VIEW_SERVER_H

/* [python] */
/*
 * Runs until the viewer leaves, or the session's end of the channel (view.h) closes: 0.  -EPROTO:
 * the session's record makes no sense; -EPIPE: the viewer was not accepted; -ENOMEM.
 */
int view_serve(int channel);
/* [end python] */

#endif
