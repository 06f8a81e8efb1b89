# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The structures that guest and device share, declared once and named as in the specification."""
