// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Each number goes through the same steps of integer arithmetic, which every implementation has to get right to the last bit.
#version 450

layout(local_size_x = 64) in;
layout(set = 0, binding = 0) buffer Numbers { uint numbers[]; };
layout(push_constant) uniform Steps { uint steps; };

void main()
{
    uint at = gl_GlobalInvocationID.x;
    if (at >= numbers.length())
        return;
    uint number = numbers[at];
    for (uint i = 0; i < steps; i++)
        number = (number ^ (number >> 15)) * 2246822519u + at + i;
    numbers[at] = number;
}
