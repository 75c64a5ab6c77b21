// Where and when a job ran: what reports say of themselves.
#pragma once

#include <fmt/format.h>

#include <string>

#include "nibble/core/counted.h"
#include "nibble/core/cpu.h"
#include "nibble/core/date.h"
#include "nibble/core/exec.h"
#include "nibble/core/version.h"

namespace nibble {

struct RunInfo {
  std::string machine;  ///< processor, instruction set, threads
  std::string date, version;
  std::string command;  ///< what to type to get this again; empty: not known
};

inline RunInfo run_info(const Exec& exec, const std::string& command) {
  return {fmt::format("{} ({}, {})", cpu().model, cpu().isa, counted(exec.threads, "thread")),
          today(), std::string(version()), command};
}

}  // namespace nibble
