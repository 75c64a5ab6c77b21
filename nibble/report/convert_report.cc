#include "nibble/report/convert_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/counted.h"
#include "nibble/report/json_report.h"

namespace nibble {
namespace {

std::string rounding_words(const ConvertResult& r) {
  constexpr size_t kNamed = 3;
  if (r.lossless) return "lossless: every weight is what it was";
  if (r.changed.empty())
    return "not lossless: the weights are what they were, their inputs are not";
  const std::vector<std::string> first(
      r.changed.begin(),
      r.changed.begin() + static_cast<std::ptrdiff_t>(std::min(kNamed, r.changed.size())));
  return fmt::format("not lossless: {} rounded ({}{})",
                     counted(std::ssize(r.changed), "weight was", "weights were"),
                     fmt::join(first, ", "), r.changed.size() > kNamed ? ", ..." : "");
}

}  // namespace

std::string render_terminal(const ConvertJob& /*job*/, const ConvertResult& r) {
  return fmt::format("{}: {} with their codes, {} as floats, {} bytes instead of {}\n{}\n", r.path,
                     counted(r.packed, "matrix", "matrices"), r.plain, r.file_bytes,
                     r.input_file_bytes, rounding_words(r));
}

std::string convert_json(const ConvertJob& /*job*/, const ConvertResult& r) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("out", r.path);
  out.field("file_bytes", r.file_bytes).field("input_file_bytes", r.input_file_bytes);
  out.field("matrices_packed", r.packed).field("matrices_plain", r.plain);
  out.field("lossless", r.lossless).array("changed", r.changed);
  return out.array("warnings", r.warnings).end_object().finish();
}

}  // namespace nibble
