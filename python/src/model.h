// A model that is open, and the arithmetic alone.
#pragma once

#include <nanobind/nanobind.h>

namespace nibble::python {

void bind_model(nanobind::module_& m);
void bind_array(nanobind::module_& m);

}  // namespace nibble::python
