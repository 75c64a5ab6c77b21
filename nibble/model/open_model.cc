// Opening a model of any format.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "nibble/core/mapped_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/recognise.h"
#include "nibble/model/file_format.h"

namespace nibble {

namespace {

constexpr FileFormat kFormats[] = {
#define NIBBLE_FORMAT(name, what) {what, name::is_model, name::open},
#include "nibble/model/format_list.inc"
#undef NIBBLE_FORMAT
};

Error not_a_model(const std::string& path) {
  if (!is_regular_file(path))
    return not_found("is neither a folder nor a regular file; expected a model folder");
  const auto file = MappedFile::open(path);
  if (auto other = recognise_other(file->bytes(), "a model that can be opened"))
    return *std::move(other);
  std::vector<std::string_view> known;
  for (const FileFormat& f : kFormats) known.push_back(f.what);
  return unsupported(fmt::format("expected {}", fmt::join(known, " or ")));
}

}  // namespace

Model open_model(const std::string& path) {
  if (!exists(path)) throw not_found("no such file or folder").in_file(path);
  for (const FileFormat& f : kFormats) {
    if ((is_folder(path) || is_regular_file(path)) && f.is_model(path)) return f.open(path);
  }
  throw not_a_model(path).in_file(path);
}

}  // namespace nibble
