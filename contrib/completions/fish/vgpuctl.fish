# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Written by man/generate.py.

complete -c vgpuctl -f
complete -c vgpuctl -s h -l help -d 'show this help message and exit'
complete -c vgpuctl -s s -l socket-path -r -F -d 'The daemon\'s socket, the one that virtual machines connect to'
complete -c vgpuctl -s V -l version -d 'Print the version and end'
complete -c vgpuctl -n "not __fish_seen_subcommand_from status screenshot displays metrics log-level" -a status -d 'Show the daemon and the machines that it serves'
complete -c vgpuctl -n "__fish_seen_subcommand_from status" -s h -l help -d 'show this help message and exit'
complete -c vgpuctl -n "__fish_seen_subcommand_from status" -l json -d 'All that is known, as JSON'
complete -c vgpuctl -n "__fish_seen_subcommand_from status" -l watch -d 'Again and again'
complete -c vgpuctl -n "not __fish_seen_subcommand_from status screenshot displays metrics log-level" -a screenshot -d 'Save what a scanout shows, as a PNG'
complete -c vgpuctl -n "__fish_seen_subcommand_from screenshot" -s h -l help -d 'show this help message and exit'
complete -c vgpuctl -n "__fish_seen_subcommand_from screenshot" -l scanout -r -d 'Which scanout'
complete -c vgpuctl -n "__fish_seen_subcommand_from screenshot" -l machine -r -d 'Which machine, as status names it or by its number'
complete -c vgpuctl -n "__fish_seen_subcommand_from screenshot" -F
complete -c vgpuctl -n "not __fish_seen_subcommand_from status screenshot displays metrics log-level" -a displays -d 'Plug a display into a machine that has no display socket, or unplug it'
complete -c vgpuctl -n "__fish_seen_subcommand_from displays" -s h -l help -d 'show this help message and exit'
complete -c vgpuctl -n "__fish_seen_subcommand_from displays" -l scanout -r -d 'Which scanout'
complete -c vgpuctl -n "__fish_seen_subcommand_from displays" -l machine -r -d 'Which machine, as status names it or by its number'
complete -c vgpuctl -n "__fish_seen_subcommand_from displays; and not __fish_seen_subcommand_from set" -a 'set'
complete -c vgpuctl -n "__fish_seen_subcommand_from displays; and __fish_seen_subcommand_from set; and not __fish_seen_subcommand_from off" -a 'off'
complete -c vgpuctl -n "not __fish_seen_subcommand_from status screenshot displays metrics log-level" -a metrics -d 'Print the same numbers in Prometheus\' text format'
complete -c vgpuctl -n "__fish_seen_subcommand_from metrics" -s h -l help -d 'show this help message and exit'
complete -c vgpuctl -n "not __fish_seen_subcommand_from status screenshot displays metrics log-level" -a log-level -d 'Change the least important messages to log'
complete -c vgpuctl -n "__fish_seen_subcommand_from log-level" -s h -l help -d 'show this help message and exit'
complete -c vgpuctl -n "__fish_seen_subcommand_from log-level; and not __fish_seen_subcommand_from debug info warning error" -a 'debug info warning error'
