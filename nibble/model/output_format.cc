#include "nibble/model/output_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "nibble/core/error.h"
#include "nibble/model/write_gguf.h"
#include "nibble/model/write_onnx.h"

namespace nibble {
namespace {

constexpr std::string_view kOnnx = "onnx", kGguf = "gguf", kGgufEnd = ".gguf";

std::string without_gguf_end(const std::string& out) {
  return is_gguf_name(out) ? out.substr(0, out.size() - kGgufEnd.size()) : out;
}

std::string path_of(const std::string& out, const OutputFormat& format, bool only) {
  if (format.in_gguf) return without_gguf_end(out) + std::string(kGgufEnd);
  if (!only) return fmt::format("{}-{}", without_gguf_end(out), format.name);
  if (!is_gguf_name(out)) return out;
  throw invalid_argument(
      fmt::format("{} is a folder, and {} the name of a GGUF file", format.name, in_quotes(out)));
}

}  // namespace

std::string_view OutputFormat::usual_scheme() const {
  return layout == nullptr ? "int8" : layout->usual_scheme;
}

std::vector<std::string_view> output_formats() {
  std::vector<std::string_view> out = written_layouts();
  out.push_back(kOnnx);
  out.push_back(kGguf);
  return out;
}

OutputFormat parse_output_format(std::string_view name) {
  if (name == kGguf) return {kGguf, true};
  if (name == kOnnx) return {kOnnx, false, nullptr, true};
  for (const std::string_view known : written_layouts()) {
    if (known == name) return {known, false, find_written_layout(known)};
  }
  throw invalid_argument(
      fmt::format("`format` {}: use {}", in_quotes(name), fmt::join(output_formats(), ", ")));
}

std::vector<OutputTarget> output_targets(const std::string& out,
                                         std::span<const OutputFormat> formats) {
  if (formats.empty()) return {{{{}, is_gguf_name(out)}, out}};
  std::vector<OutputTarget> targets;
  std::set<std::string_view> seen;
  for (const OutputFormat& f : formats) {
    if (!seen.insert(f.name).second)
      throw invalid_argument(fmt::format("`format` {} is given twice", f.name));
    targets.push_back({f, path_of(out, f, formats.size() == 1)});
  }
  return targets;
}

OutputTarget output_target(const std::string& out, const std::optional<OutputFormat>& format) {
  std::vector<OutputFormat> formats;
  if (format) formats.push_back(*format);
  return output_targets(out, formats).front();
}

void require_format(const Model& original, const std::vector<WritableParameter>& parameters,
                    const OutputFormat& format) {
  if (format.in_gguf) return require_gguf(original, parameters);
  if (format.in_onnx) return require_onnx(original, parameters);
  if (format.layout != nullptr) return require_folder(parameters, *format.layout);
  // Nobody chose: the first that can say all.
  SchemeMap schemes;
  for (const WritableParameter& p : parameters)
    if (p.scheme) schemes.emplace(module_of(p.spec.name), *p.scheme);
  if (const WeightLayout* layout = layout_that_says(schemes)) require_folder(parameters, *layout);
}

}  // namespace nibble
