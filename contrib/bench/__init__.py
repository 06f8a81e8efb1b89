# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The benchmark: vgpud and other vhost-user-gpu backends, measured in turn in one run over one
front-end.

``peers``     the programs and how they are started
``reader``    the display's end, in a process of its own and as cheap as Python allows
``prepared``  a control queue whose chains are written beforehand
``machine``   one peer that runs, with guest, reader and the CPU time of every process
``rows``      what is measured, and what each row has to reach
``blobs``     flips of guest blobs beside those of 2D resources
``still``     what a screen that stands still takes of the host's memory
``mapping``   a host blob into the guest's address space, and out again
``virgl``     OpenGL's streams and flushes, by hand
``opengl``    and those of GL programs
``venus``     Vulkan, as a program was recorded
``fleet``     many machines on one daemon, and what one that floods costs another
``baseline``  what memcpy, a socket and the reader carry with no device at all
``report``    medians, ratios, the table
"""
