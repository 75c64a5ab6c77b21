// What a verb is going to write, held against what it reads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nibble/core/atomic_file.h"

namespace nibble::cli {

/// Paths as they were given; those that are empty stand for nothing.
struct Outputs {
  std::string folder;  ///< of -o; what a stopped run leaves beside it, OUT.resume, is meant as well
  std::string report;
};

/// Error{invalid_argument} where making an output would replace or remove an input (a file, or a
/// folder with what is in it), or one output another, by whatever name. Said before any work.
void refuse_inputs_as_outputs(const Outputs& outputs, std::vector<std::string> inputs);

/// A model's files as inputs: the path, and where that is one file what lies beside it and belongs
/// to it.
std::vector<std::string> model_inputs(const std::string& path);

/// The page of --report, made before the work that it reports, so that what would refuse it does
/// so at once: null where `path` is empty, Error{io, cannot_create} where it exists, unless
/// `force`.
std::unique_ptr<AtomicFile> open_report(const std::string& path, bool force);

}  // namespace nibble::cli
