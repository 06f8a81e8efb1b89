# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""``python -m tests.vtest.client FILE``: draws by EGL and OpenGL ES, without a window, and writes the pixels.

The file has the rows of each frame, from below, of R, G, B, A; on standard output is GL_RENDERER.  What is drawn goes all the
ways that data take: a texture with mipmaps, vertices that change for each frame, a depth buffer, blending, reading back.
"""

import ctypes
import math
import struct
import sys
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_uint, c_void_p
from pathlib import Path

SIZE, FRAMES, TEXTURE = 256, 3, 64
TRIANGLES = 24

EGL_PLATFORM_SURFACELESS_MESA = 0x31DD
EGL_OPENGL_ES_API, EGL_CONTEXT_CLIENT_VERSION, EGL_NONE = 0x30A0, 0x3098, 0x3038
GL_RENDERER, GL_RGBA, GL_UNSIGNED_BYTE, GL_FLOAT, GL_TRIANGLES = 0x1F01, 0x1908, 0x1401, 0x1406, 4
GL_TEXTURE_2D, GL_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR = 0x0DE1, 0x2801, 0x2703
GL_FRAMEBUFFER, GL_RENDERBUFFER, GL_COLOR_ATTACHMENT0, GL_DEPTH_ATTACHMENT = (
    0x8D40, 0x8D41, 0x8CE0, 0x8D00,
)  # fmt: skip
GL_RGBA8, GL_DEPTH_COMPONENT16, GL_FRAMEBUFFER_COMPLETE = 0x8058, 0x81A5, 0x8CD5
GL_VERTEX_SHADER, GL_FRAGMENT_SHADER, GL_LINK_STATUS = 0x8B31, 0x8B30, 0x8B82
GL_ARRAY_BUFFER, GL_DYNAMIC_DRAW = 0x8892, 0x88E8
GL_DEPTH_TEST, GL_BLEND, GL_SRC_ALPHA, GL_ONE_MINUS_SRC_ALPHA = 0x0B71, 0x0BE2, 0x0302, 0x0303
GL_COLOR_BUFFER_BIT, GL_DEPTH_BUFFER_BIT = 0x4000, 0x0100

VERTEX = b"""
attribute vec4 place;
attribute vec2 where;
varying vec2 at;
void main() { at = where; gl_Position = place; }
"""
FRAGMENT = b"""
precision highp float;
uniform sampler2D picture;
uniform float frame;
varying vec2 at;
void main() {
    vec4 texel = texture2D(picture, at * 3.0);
    gl_FragColor = vec4(texel.rgb * (0.6 + 0.4 * sin(8.0 * at.x + frame)), 0.4 + 0.6 * texel.a);
}
"""


class DrawingError(Exception):
    """EGL or OpenGL refused something."""


def _checked(value: int, what: str) -> int:
    if not value:
        raise DrawingError(what)
    return value


def _made_current(egl: ctypes.CDLL) -> None:
    """A context without a surface."""
    egl.eglGetPlatformDisplay.restype = egl.eglCreateContext.restype = c_void_p
    egl.eglGetPlatformDisplay.argtypes = [c_uint, c_void_p, c_void_p]
    egl.eglInitialize.argtypes = [c_void_p, c_void_p, c_void_p]
    egl.eglCreateContext.argtypes = [c_void_p, c_void_p, c_void_p, POINTER(c_int)]
    egl.eglMakeCurrent.argtypes = [c_void_p] * 4
    display = egl.eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, None, None)
    _checked(egl.eglInitialize(display, None, None), "eglInitialize")
    _checked(egl.eglBindAPI(EGL_OPENGL_ES_API), "eglBindAPI")
    attributes = (c_int * 3)(EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE)
    context = _checked(egl.eglCreateContext(display, None, None, attributes), "eglCreateContext")
    _checked(egl.eglMakeCurrent(display, None, None, context), "eglMakeCurrent")


def _framebuffer(gl: ctypes.CDLL) -> None:
    names = (c_uint * 3)()
    gl.glGenFramebuffers(1, names)
    gl.glBindFramebuffer(GL_FRAMEBUFFER, names[0])
    for place, (attachment, kept) in enumerate(
        ((GL_COLOR_ATTACHMENT0, GL_RGBA8), (GL_DEPTH_ATTACHMENT, GL_DEPTH_COMPONENT16)), start=1
    ):
        gl.glGenRenderbuffers(1, byref(names, 4 * place))
        gl.glBindRenderbuffer(GL_RENDERBUFFER, names[place])
        gl.glRenderbufferStorage(GL_RENDERBUFFER, kept, SIZE, SIZE)
        gl.glFramebufferRenderbuffer(GL_FRAMEBUFFER, attachment, GL_RENDERBUFFER, names[place])
    status = gl.glCheckFramebufferStatus(GL_FRAMEBUFFER)
    _checked(status == GL_FRAMEBUFFER_COMPLETE, f"framebuffer: {status:#x}")


def _program(gl: ctypes.CDLL) -> int:
    program = gl.glCreateProgram()
    for kind, source in ((GL_VERTEX_SHADER, VERTEX), (GL_FRAGMENT_SHADER, FRAGMENT)):
        shader = gl.glCreateShader(kind)
        gl.glShaderSource(shader, 1, byref(c_char_p(source)), None)
        gl.glCompileShader(shader)
        gl.glAttachShader(program, shader)
    for index, name in enumerate((b"place", b"where")):
        gl.glBindAttribLocation(program, index, name)
    gl.glLinkProgram(program)
    linked = c_int()
    gl.glGetProgramiv(program, GL_LINK_STATUS, byref(linked))
    _checked(linked.value, "the shaders do not link")
    gl.glUseProgram(program)
    return int(program)


def _texture(gl: ctypes.CDLL) -> None:
    texels = bytes(
        value
        for y in range(TEXTURE)
        for x in range(TEXTURE)
        for value in (4 * x, 4 * y, (x ^ y) * 4, 255 if (x // 8 + y // 8) % 2 else 64)
    )
    name = c_uint()
    gl.glGenTextures(1, byref(name))
    gl.glBindTexture(GL_TEXTURE_2D, name)
    gl.glTexImage2D(
        GL_TEXTURE_2D, 0, GL_RGBA, TEXTURE, TEXTURE, 0, GL_RGBA, GL_UNSIGNED_BYTE, texels
    )
    gl.glGenerateMipmap(GL_TEXTURE_2D)
    gl.glTexParameteri(GL_TEXTURE_2D, GL_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR)


def _vertices(frame: int) -> Sequence[float]:
    """Triangles around the middle, turned a little each frame: x, y, z and a place in the texture."""
    values: list[float] = []
    for number in range(TRIANGLES):
        for corner in range(3):
            angle = number * 0.7 + corner * 2.1 + frame * 0.3
            reach = 0.2 + 0.75 * number / TRIANGLES
            x, y = reach * math.cos(angle), reach * math.sin(angle)
            values += (x, y, 0.9 - 0.07 * number, 0.5 + x, 0.5 + y)
    return values


def draw(path: Path) -> str:
    """Writes the frames to a file; what draws them, by its own name."""
    _made_current(ctypes.CDLL("libEGL.so.1"))
    gl = ctypes.CDLL("libGLESv2.so.2")
    gl.glGetString.restype = c_char_p
    gl.glVertexAttribPointer.argtypes = [c_uint, c_int, c_uint, ctypes.c_ubyte, c_int, c_void_p]
    gl.glBufferData.argtypes = [c_uint, ctypes.c_ssize_t, c_void_p, c_uint]
    gl.glClearColor.argtypes = [c_float] * 4
    gl.glUniform1f.argtypes = [c_int, c_float]
    _framebuffer(gl)
    frame_uniform = gl.glGetUniformLocation(_program(gl), b"frame")
    _texture(gl)
    buffer = c_uint()
    gl.glGenBuffers(1, byref(buffer))
    gl.glBindBuffer(GL_ARRAY_BUFFER, buffer)
    for index, (count, offset) in enumerate(((3, 0), (2, 12))):
        gl.glEnableVertexAttribArray(index)
        gl.glVertexAttribPointer(index, count, GL_FLOAT, 0, 20, offset)
    gl.glViewport(0, 0, SIZE, SIZE)
    gl.glEnable(GL_DEPTH_TEST)
    gl.glEnable(GL_BLEND)
    gl.glBlendFunc(GL_SRC_ALPHA, GL_ONE_MINUS_SRC_ALPHA)
    pixels = ctypes.create_string_buffer(SIZE * SIZE * 4)
    with path.open("wb") as file:
        for frame in range(FRAMES):
            values = _vertices(frame)
            data = struct.pack(f"={len(values)}f", *values)
            gl.glBufferData(GL_ARRAY_BUFFER, len(data), data, GL_DYNAMIC_DRAW)
            gl.glClearColor(0.1, 0.2, 0.3 + 0.2 * frame, 1.0)
            gl.glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT)
            gl.glUniform1f(frame_uniform, frame)
            gl.glDrawArrays(GL_TRIANGLES, 0, 3 * TRIANGLES)
            gl.glReadPixels(0, 0, SIZE, SIZE, GL_RGBA, GL_UNSIGNED_BYTE, pixels)
            file.write(pixels.raw)
    error = gl.glGetError()
    _checked(error == 0, f"OpenGL says {error:#x}")
    return bytes(gl.glGetString(GL_RENDERER)).decode()


if __name__ == "__main__":
    print(draw(Path(sys.argv[1])))
