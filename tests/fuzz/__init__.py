# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Everybody who may lie to somebody else does so, in any order, with the real processes under sanitizers and a witness beside them.

Each kind of liar is a state machine of Hypothesis: a VMM, a device process, a session, a control client.  After each of its steps the
daemon's witness is to be served, its pixels and all.  ``python -m tests.fuzz --seconds 3600`` runs all of them.
"""
