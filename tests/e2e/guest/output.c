// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include <err.h>
#include <fcntl.h>
#include <string.h>

#include "output.h"

void fail(const char *what) {
    errx(1, "%s failed", what);
}

static int take_mode(struct output *output, const drmModeConnector *connector, const char *name) {
    for (int i = 0; i < connector->count_modes; i++) {
        if (strcmp(connector->modes[i].name, name) == 0) {
            output->mode = connector->modes[i];
            return 1;
        }
    }
    return 0;
}

struct output open_output(const char *mode) {
    struct output output = {.fd = open("/dev/dri/card0", O_RDWR | O_CLOEXEC)};
    drmModeRes *resources = output.fd < 0 ? NULL : drmModeGetResources(output.fd);
    if (resources == NULL)
        fail("opening the device");
    for (int i = 0; i < resources->count_connectors; i++) {
        drmModeConnector *connector = drmModeGetConnector(output.fd, resources->connectors[i]);
        if (connector->connection == DRM_MODE_CONNECTED && take_mode(&output, connector, mode)) {
            output.connector = connector->connector_id;
            output.crtc = resources->crtcs[i];
            return output;
        }
    }
    fail("finding the mode");
    return output;
}

void set_framebuffer(const struct output *output, uint32_t framebuffer) {
    drmModeModeInfo mode = output->mode;
    uint32_t connector = output->connector;
    if (drmModeSetCrtc(output->fd, output->crtc, framebuffer, 0, 0, &connector, 1, &mode) != 0)
        fail("showing it");
}
