// nibble._core: what the package python/nibble is made of. Nothing here is for users.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "errors.h"
#include "model.h"
#include "nibble/api/version.h"
#include "nibble/kernels/onednn/product.h"
#include "verb.h"

NB_MODULE(_core, m) {
  nibble::cap_onednn();
  nibble::python::translate_errors();
  nibble::python::bind_model(m);
  nibble::python::bind_array(m);
  nibble::python::bind_verbs(m);
  m.def("version", [] { return std::string(nibble::api::version()); });
  m.def("instruction_set", [] { return std::string(nibble::api::instruction_set()); });
}
