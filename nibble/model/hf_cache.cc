#include "nibble/model/hf_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "nibble/core/files.h"
#include "nibble/core/posix.h"

namespace nibble {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// One part of a name as the Hub allows it: nothing that leads out of a folder.
bool is_part(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !part.empty() && part.size() <= 96 && part.front() != '.' && part.front() != '-' &&
         std::all_of(part.begin(), part.end(), allowed);
}

// "ORG/NAME@REVISION" taken apart; an empty folder where it is no such name.
struct HubName {
  std::string folder, revision;
};
HubName parse(std::string_view name) {
  HubName out{"", "main"};
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    out.revision = name.substr(at + 1);
    name = name.substr(0, at);
  }
  const size_t slash = name.find('/');
  const std::string_view org = name.substr(0, slash == std::string_view::npos ? 0 : slash);
  const std::string_view model = slash == std::string_view::npos ? name : name.substr(slash + 1);
  if (!is_part(model) || !is_part(out.revision)) return out;
  if (slash == std::string_view::npos) {
    out.folder = fmt::format("models--{}", model);
  } else if (is_part(org)) {
    out.folder = fmt::format("models--{}--{}", org, model);
  }
  return out;
}

// The commit a revision stands for: what refs/REVISION says, else the revision itself.
std::string commit_of(const std::string& folder, const std::string& revision) {
  constexpr int64_t kLongest = 256;
  const std::string ref = folder + "/refs/" + revision;
  if (!exists(ref)) return revision;
  std::string commit = read_file(ref, kLongest);
  while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r')) commit.pop_back();
  if (!is_part(commit)) throw corrupt("does not hold the name of a commit").in_file(ref);
  return commit;
}

}  // namespace

std::string hf_cache_folder() {
  // The second is the first's old name.
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (std::string hub = variable(name); !hub.empty()) return hub;
  }
  if (const std::string home = variable("HF_HOME"); !home.empty()) return home + "/hub";
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty())
    return xdg + "/huggingface/hub";
  return variable("HOME") + "/.cache/huggingface/hub";
}

std::string resolve_model(const std::string& name) {
  if (name.empty()) throw invalid_argument("the name of a model is empty: give a folder or a name");
  if (exists(name)) return name;
  const HubName hub = parse(name);
  if (hub.folder.empty()) throw not_found("no such file or folder").in_file(name);
  const std::string folder = hf_cache_folder() + "/" + hub.folder;
  if (!exists(folder)) {
    throw not_found(fmt::format("no such file or folder, and no {} in the Hugging Face cache {}",
                                hub.folder, printable(hf_cache_folder(), 4096)))
        .in_file(name);
  }
  std::string snapshot = folder + "/snapshots/" + commit_of(folder, hub.revision);
  if (exists(snapshot)) return snapshot;
  throw not_found(fmt::format("the Hugging Face cache has this model, but not its revision {} "
                              "(looked for {})",
                              in_quotes(hub.revision), printable(snapshot, 4096)))
      .in_file(name);
}

}  // namespace nibble
