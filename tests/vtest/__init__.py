# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A bridge from Mesa's vtest protocol to virtio-gpu, so that real GL programs run through a backend with no machine.

``protocol``  the messages of vtest, version 2
``guest``     a virtio-gpu driver that a vtest client's needs are mapped to
``bridge``    the server: a client there, a virtual machine here
``servers``   that, and libvirglrenderer's own server
``client``    a program that draws
``piglit``    the comparison of the servers
"""
