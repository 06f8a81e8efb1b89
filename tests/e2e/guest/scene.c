/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * scene MODE FRAMES: draws a turning cube with OpenGL ES on the first connected output, shows frame
 * after frame, and keeps the last one on the screen until it is killed.  What frame N looks like
 * depends on N alone, so that two renderers can be compared.  MODE: WIDTHxHEIGHT.  Prints the
 * renderer, then "shown" when the last frame is on the screen.
 *
 * scene MODE FRAMES FILE: draws the same on no screen, by the render node, and leaves the last
 * frame in the file (PPM).
 */
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <fcntl.h>
#include <gbm.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "output.h"

/* --- OpenGL */

struct screen {
    struct gbm_surface *surface;
    EGLDisplay display;
    EGLSurface window;
};

static void use(EGLDisplay display, EGLSurface surface, EGLConfig config) {
    static const EGLint version[] = {EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE};
    EGLContext context = eglCreateContext(display, config, EGL_NO_CONTEXT, version);
    if (!eglMakeCurrent(display, surface, surface, context)) {
        fail("making the context current");
    }
    printf("%s\n", (const char *)glGetString(GL_RENDERER));
    fflush(stdout);
}

static EGLConfig choose_config(EGLDisplay display, EGLint format) {
    static const EGLint wanted[] = {EGL_RENDERABLE_TYPE, EGL_OPENGL_ES2_BIT, EGL_DEPTH_SIZE, 16,
                                    EGL_NONE};
    EGLConfig configs[256];
    EGLint count = 0, visual;
    eglChooseConfig(display, wanted, configs, 256, &count);
    for (EGLint i = 0; i < count; i++) {
        if (eglGetConfigAttrib(display, configs[i], EGL_NATIVE_VISUAL_ID, &visual) &&
            visual == format) {
            return configs[i];
        }
    }
    fail("choosing a configuration");
    return NULL;
}

static struct screen open_screen(const struct output *output) {
    struct gbm_device *device = gbm_create_device(output->fd);
    struct screen screen = {
        .surface =
            gbm_surface_create(device, output->mode.hdisplay, output->mode.vdisplay,
                               GBM_FORMAT_XRGB8888, GBM_BO_USE_SCANOUT | GBM_BO_USE_RENDERING),
        .display = eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, device, NULL),
    };
    if (screen.surface == NULL || !eglInitialize(screen.display, NULL, NULL)) {
        fail("starting EGL");
    }
    eglBindAPI(EGL_OPENGL_ES_API);
    EGLConfig config = choose_config(screen.display, GBM_FORMAT_XRGB8888);
    screen.window = eglCreatePlatformWindowSurface(screen.display, config, screen.surface, NULL);
    use(screen.display, screen.window, config);
    return screen;
}

/* Makes a framebuffer object of that size current, on the device's render node. */
static void open_offscreen(int width, int height) {
    int fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
    GLuint names[2], framebuffer;
    EGLDisplay display;
    if (fd < 0) {
        fail("opening the render node");
    }
    display = eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, gbm_create_device(fd), NULL);
    if (!eglInitialize(display, NULL, NULL)) {
        fail("starting EGL");
    }
    eglBindAPI(EGL_OPENGL_ES_API);
    use(display, EGL_NO_SURFACE, choose_config(display, GBM_FORMAT_XRGB8888));
    glGenTextures(1, &names[0]);
    glBindTexture(GL_TEXTURE_2D, names[0]);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    glBindTexture(GL_TEXTURE_2D, 0);
    glGenRenderbuffers(1, &names[1]);
    glBindRenderbuffer(GL_RENDERBUFFER, names[1]);
    glRenderbufferStorage(GL_RENDERBUFFER, GL_DEPTH_COMPONENT16, width, height);
    glGenFramebuffers(1, &framebuffer);
    glBindFramebuffer(GL_FRAMEBUFFER, framebuffer);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, names[0], 0);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_DEPTH_ATTACHMENT, GL_RENDERBUFFER, names[1]);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) {
        fail("completing the framebuffer");
    }
    glViewport(0, 0, width, height);
}

/* --- the cube */

static const char vertex_shader[] =
    "attribute vec3 position; uniform mat4 matrix; varying vec3 place;"
    "void main() { place = position * 0.5 + 0.5; gl_Position = matrix * vec4(position, 1.0); }";
static const char fragment_shader[] =
    "precision highp float; varying vec3 place; uniform sampler2D checks;"
    "void main() { gl_FragColor = vec4(place, 1.0) *"
    " (0.5 + 0.5 * texture2D(checks, place.xy * 2.0 + place.z)); }";

static void add_shader(GLuint program, GLenum kind, const char *source) {
    GLuint shader = glCreateShader(kind);
    GLint compiled;
    glShaderSource(shader, 1, &source, NULL);
    glCompileShader(shader);
    glGetShaderiv(shader, GL_COMPILE_STATUS, &compiled);
    if (!compiled) {
        fail("compiling a shader");
    }
    glAttachShader(program, shader);
}

/* The matrix's place. */
static GLint prepare(void) {
    static const GLfloat corners[] = {-1, -1, -1, 1, -1, -1, -1, 1, -1, 1, 1, -1,
                                      -1, -1, 1,  1, -1, 1,  -1, 1, 1,  1, 1, 1};
    static const GLubyte checks[] = {255, 255, 255, 255, 0,   0,   0,   255,
                                     0,   0,   0,   255, 255, 255, 255, 255};
    GLuint program = glCreateProgram(), texture;
    add_shader(program, GL_VERTEX_SHADER, vertex_shader);
    add_shader(program, GL_FRAGMENT_SHADER, fragment_shader);
    glBindAttribLocation(program, 0, "position");
    glLinkProgram(program);
    glUseProgram(program);
    glVertexAttribPointer(0, 3, GL_FLOAT, GL_FALSE, 0, corners);
    glEnableVertexAttribArray(0);
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 2, 2, 0, GL_RGBA, GL_UNSIGNED_BYTE, checks);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
    glEnable(GL_DEPTH_TEST);
    return glGetUniformLocation(program, "matrix");
}

/* Turned about two axes, seen from a distance of 5; not symmetric, so that a picture upside down is
 * another. */
static void draw(GLint matrix, int frame, float aspect) {
    static const GLubyte faces[] = {0, 2, 1, 1, 2, 3, 4, 5, 6, 5, 7, 6, 0, 1, 4, 1, 5, 4,
                                    2, 6, 3, 3, 6, 7, 0, 4, 2, 2, 4, 6, 1, 3, 5, 3, 7, 5};
    float a = 0.6f + 0.02f * (float)frame, b = 0.4f + 0.013f * (float)frame;
    float ca = cosf(a), sa = sinf(a), cb = cosf(b), sb = sinf(b), f = 2.0f;
    float rows[3][3] = {{ca, 0, sa}, {sa * sb, cb, -ca * sb}, {-sa * cb, sb, ca * cb}};
    GLfloat m[16] = {0};
    for (int column = 0; column < 3; column++) {
        m[4 * column] = f / aspect * rows[0][column];
        m[4 * column + 1] = f * rows[1][column];
        m[4 * column + 2] = -1.5f * rows[2][column];
        m[4 * column + 3] = -rows[2][column];
    }
    m[14] = 1.5f * 5.0f - 5.0f;
    m[15] = 5.0f;
    glUniformMatrix4fv(matrix, 1, GL_FALSE, m);
    glClearColor(0.1f, 0.2f, 0.3f, 1.0f);
    glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT);
    glDrawElements(GL_TRIANGLES, sizeof(faces), GL_UNSIGNED_BYTE, faces);
}

/* --- showing */

static void show(const struct output *output, struct screen *screen) {
    static struct gbm_bo *before;
    struct gbm_bo *buffer;
    uint32_t framebuffer;
    eglSwapBuffers(screen->display, screen->window);
    buffer = gbm_surface_lock_front_buffer(screen->surface);
    if (buffer == NULL ||
        drmModeAddFB(output->fd, output->mode.hdisplay, output->mode.vdisplay, 24, 32,
                     gbm_bo_get_stride(buffer), gbm_bo_get_handle(buffer).u32, &framebuffer) != 0) {
        fail("making a framebuffer");
    }
    set_framebuffer(output, framebuffer);
    if (before != NULL) {
        gbm_surface_release_buffer(screen->surface, before);
    }
    before = buffer;
}

/* GL's first row is the lowest. */
static void write_picture(const char *path, int width, int height) {
    size_t row = (size_t)width * 4;
    GLubyte *pixels = malloc(row * (size_t)height);
    FILE *file = fopen(path, "wb");
    if (pixels == NULL || file == NULL) {
        fail("making the picture's file");
    }
    glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    fprintf(file, "P6\n%d %d\n255\n", width, height);
    for (int y = height - 1; y >= 0; y--) {
        for (int x = 0; x < width; x++) {
            fwrite(pixels + (size_t)y * row + (size_t)x * 4, 3, 1, file);
        }
    }
    if (ferror(file) || fclose(file) != 0) {
        fail("writing the picture");
    }
}

static void draw_offscreen(const char *mode, int frames, const char *path) {
    int width, height;
    if (sscanf(mode, "%dx%d", &width, &height) != 2) {
        fail("reading the size");
    }
    open_offscreen(width, height);
    GLint matrix = prepare();
    for (int frame = 0; frame < frames; frame++) {
        draw(matrix, frame, (float)width / (float)height);
        glFinish();
    }
    write_picture(path, width, height);
}

static void draw_on_screen(const char *mode, int frames) {
    struct output output = open_output(mode);
    struct screen screen = open_screen(&output);
    GLint matrix = prepare();
    for (int frame = 0; frame < frames; frame++) {
        draw(matrix, frame, (float)output.mode.hdisplay / (float)output.mode.vdisplay);
        show(&output, &screen);
    }
    printf("shown\n");
    fflush(stdout);
    for (;;) {
        pause();
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fail("reading the arguments");
    }
    if (argc > 3) {
        draw_offscreen(argv[1], atoi(argv[2]), argv[3]);
        return 0;
    }
    draw_on_screen(argv[1], atoi(argv[2]));
}
