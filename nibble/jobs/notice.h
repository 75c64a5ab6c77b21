// What a job says while it runs, for callers that show it at once. Its result holds all of it, too.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {

inline constexpr std::string_view kGeneratedText = "text that the model generates";

struct Notice {
  enum class Kind {
    warnings,  ///< what is odd but not wrong, a line each; options are named by their fields
    defaults,  ///< what generation_config.json decides, an option and its value each
    own_text,  ///< what stands in for a text where none was given
  };
  Kind kind = Kind::warnings;
  std::vector<std::string> lines;
};
/// Called by the thread that the job was called by.
using NoticeHook = std::function<void(const Notice&)>;

/// Says `lines` and adds them to a result's `warnings`.
inline void note_warnings(std::vector<std::string> lines, const NoticeHook& tell,
                          std::vector<std::string>& warnings) {
  warnings.insert(warnings.end(), lines.begin(), lines.end());
  if (tell && !lines.empty()) tell({Notice::Kind::warnings, std::move(lines)});
}

}  // namespace nibble
