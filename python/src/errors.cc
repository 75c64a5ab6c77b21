#include "errors.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cctype>
#include <exception>

#include "cli/flags.h"
#include "nibble/api/error.h"
#include "nibble/core/error.h"

namespace nibble::python {

namespace nb = nanobind;

namespace {

bool begins_flag(std::string_view text, size_t i) {
  const bool inside = i > 0 && (std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0 ||
                                text[i - 1] == '-' || text[i - 1] == '_');
  return !inside && text.substr(i).starts_with("--") && i + 2 < text.size() &&
         std::islower(static_cast<unsigned char>(text[i + 2])) != 0;
}

void raise(const std::string& kind, const std::string& file, const std::string& where,
           const std::string& reason) {
  const Error told = Error(ErrorKind::corrupt, reason).at(where).in_file(file);
  const nb::object error = nb::module_::import_("nibble._errors")
                               .attr("of_kind")(kind, told.what(), file, where, reason);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
}

void translate(const std::exception_ptr& thrown, void* /*nothing*/) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& e) {
    raise(std::string(to_string(e.kind())), e.file(), e.where(), in_keywords(e.reason()));
  } catch (const api::Error& e) {
    raise(std::string(api::to_string(e.kind())), e.file(), e.where(), in_keywords(e.reason()));
  }
}

}  // namespace

std::string in_keywords(std::string_view given) {
  const std::string text = cli::in_flags(given);
  std::string out;
  bool quoted = false, flag = false, shown = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    quoted ^= c == '"';
    shown ^= c == '`' && !quoted;
    if (!quoted && !shown && begins_flag(text, i)) {
      flag = true;
      ++i;
      continue;
    }
    flag = flag && (c == '-' || std::islower(static_cast<unsigned char>(c)) != 0 ||
                    std::isdigit(static_cast<unsigned char>(c)) != 0);
    out += flag && c == '-' ? '_' : c;
  }
  return out;
}

void translate_errors() { nb::register_exception_translator(translate); }

}  // namespace nibble::python
