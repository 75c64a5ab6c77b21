#include "cli/outputs.h"

#include <fmt/format.h>

#include <filesystem>

#include "nibble/core/error.h"
#include "nibble/core/posix.h"
#include "nibble/core/same_file.h"

namespace nibble::cli {
namespace {

namespace fs = std::filesystem;

void refuse_report_inside(const Outputs& o) {
  std::error_code error;
  const fs::path report = fs::weakly_canonical(o.report, error);
  for (const std::string& made : {o.folder, o.folder + ".resume"}) {
    if (error || !lies_within(report, fs::weakly_canonical(made, error))) continue;
    throw invalid_argument(
        fmt::format("lies in {}, which is made anew; choose another place for the report",
                    in_quotes(made)))
        .in_file(o.report);
  }
}

}  // namespace

void refuse_inputs_as_outputs(const Outputs& o, std::vector<std::string> inputs) {
  std::erase(inputs, "");
  std::erase(inputs, "-");  // standard input
  if (!o.report.empty()) refuse_same_file(o.report, inputs);
  if (o.folder.empty()) return;
  refuse_same_file(o.folder, inputs);
  refuse_same_file(o.folder + ".resume", inputs);
  if (!o.report.empty()) refuse_report_inside(o);
}

std::vector<std::string> model_inputs(const std::string& path) {
  std::vector<std::string> out = {path};
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return out;
  for (const auto& entry : fs::directory_iterator(split_path(path).folder, error)) {
    const std::string end = entry.path().extension().string();
    if (end == ".json" || end == ".model" || end == ".bin" || end == ".jinja")
      out.push_back(entry.path().string());
  }
  return out;
}

std::unique_ptr<AtomicFile> open_report(const std::string& path, bool force) {
  if (path.empty()) return nullptr;
  std::error_code none;
  if (!force && fs::exists(path, none) && !fs::is_character_file(path, none))
    throw cannot_create("exists already; use --force to replace it").in_file(path);
  return std::make_unique<AtomicFile>(path);
}

}  // namespace nibble::cli
