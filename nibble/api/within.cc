#include "nibble/api/within.h"

#include <new>

#include "nibble/core/executor.h"

namespace nibble::api {

Exec exec_of(const Control& control) {
  Exec out;
  out.threads = Executor::reserve(control.threads > 0 ? control.threads : default_threads());
  out.stop_signal = control.stop.flag();
  if (control.progress) {
    out.progress = [&tell = control.progress](const nibble::Progress& p) {
      tell({p.task, p.done, p.total, p.detail});
    };
  }
  return out;
}

NoticeHook warnings_to(const Control& control) {
  if (!control.warning) return {};
  return [&say = control.warning](const Notice& n) {
    if (n.kind != Notice::Kind::warnings) return;
    for (const std::string& line : n.lines) say(line);
  };
}

Error public_error(const nibble::Error& e) {
  return {static_cast<ErrorKind>(e.kind()), e.file(), e.where(), e.reason(), e.what()};
}

void rethrow_public() {
  try {
    throw;
  } catch (const nibble::Error& e) {
    throw public_error(e);
  } catch (const std::bad_alloc&) {
    throw public_error(nibble::out_of_memory(
        "out of memory: this needs more than the system or its limits allow"));
  }
}

}  // namespace nibble::api
