// How an error is told: one line for people, or one object for machines; both on stderr. And what
// the command exits with.
#pragma once

#include <string>

#include "nibble/core/error.h"
#include "nibble/core/sigbus_guard.h"

namespace nibble::cli {

/// Exit codes of sysexits.h that nibble uses (BSD sysexits(3)).
enum ExitCode : int {
  kExitUsage = 64,
  kExitData = 65,
  kExitNoInput = 66,
  kExitBug = 70,
  kExitMemory = 71,
  kExitCannotCreate = 73,
  kExitIo = 74,
  kExitPermission = 77,
};

/// One of these, or 128 + signal where a signal stopped the work.
int exit_code_of(const Error& error);

/// "nibble: error[65]: FILE: WHERE: REASON" and a line's end, safe for a terminal; with `json` the
/// same fields as one object. Options are named by their flags (cli/flags.h).
std::string error_text(const Error& error, int exit_code, bool json);

/// Tells it; returns its exit code.
int fail(const Error& error, bool json);
/// The same with another code.
int fail(const Error& error, int exit_code, bool json);

/// How a model's file that became shorter while it was read is told.
SigbusEnd sigbus_end(bool json);

/// A text of several lines as one.
std::string first_line(std::string text);

}  // namespace nibble::cli
