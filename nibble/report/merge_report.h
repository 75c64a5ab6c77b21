// What `nibble merge` says.
#pragma once

#include <string>

#include "nibble/jobs/merge.h"

namespace nibble {

std::string render_terminal(const MergeJob& job, const MergeResult& result, int width = 100);
std::string merge_json(const MergeJob& job, const MergeResult& result);

}  // namespace nibble
