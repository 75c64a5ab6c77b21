// Between the public surface and what stands behind it. Not installed.
#pragma once

#include <string>
#include <utility>

#include "nibble/api/control.h"
#include "nibble/api/error.h"
#include "nibble/core/error.h"
#include "nibble/core/exec.h"
#include "nibble/jobs/notice.h"

namespace nibble::api {

/// An Exec of these surroundings, which must outlive it.
Exec exec_of(const Control& control);

/// Says a job's warnings to control.warning, which must outlive it.
NoticeHook warnings_to(const Control& control);

Error public_error(const nibble::Error& error);
[[noreturn]] void rethrow_public();

/// f(), errors of the library as those of its surface.
template <class F>
auto within(F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (...) {
    rethrow_public();
  }
}

}  // namespace nibble::api
