// Inputs to begin with, made by code: nearly right, so that the fuzzer need not guess them.
#pragma once

#include <map>
#include <string>
#include <vector>

using Seeds = std::vector<std::string>;

/// By the names of the targets that read them.
std::map<std::string, Seeds> text_seeds();
std::map<std::string, Seeds> file_seeds();
std::map<std::string, Seeds> model_seeds();

/// The parts of one input (fuzz/parts.h).
inline std::string joined(const Seeds& parts) {
  std::string out;
  for (const std::string& part : parts) {
    if (&part != parts.data()) out += '\0';
    out += part;
  }
  return out;
}
