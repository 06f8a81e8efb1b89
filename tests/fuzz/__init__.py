# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Each party that may lie to another does so, in any order, with the real processes under
sanitizers and a witness beside them.

Each kind of liar is a state machine of Hypothesis: a VMM, a device process, a session, a client of
the control socket.  After each of its steps the daemon's witness must be served, pixels included.
``python -m tests.fuzz --seconds 3600`` runs all of them.
"""
