# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The configuration: what can be set (schema), where it comes from (load) and how it is written (dump)."""
