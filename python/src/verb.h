// The verbs of the command, run inside the process.
#pragma once

#include <nanobind/nanobind.h>

namespace nibble::python {

void bind_verbs(nanobind::module_& m);

}  // namespace nibble::python
