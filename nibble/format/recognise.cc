#include "nibble/format/recognise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace nibble {
namespace {

using namespace std::literals;

struct Row {
  std::string_view magic;
  std::string_view what;
  std::string_view advice;
};

constexpr std::string_view kConvert = "refused unread; convert it to safetensors";
constexpr std::string_view kAgain = "download the file itself";
constexpr std::string_view kUnpack = "unpack it first";

constexpr Row kRows[] = {
    {"version https://git-lfs"sv, "a Git LFS pointer", "fetch the file it points to: git lfs pull"},
    {"<!doctype"sv, "an HTML page", kAgain},
    {"<html"sv, "an HTML page", kAgain},
    {"<?xml"sv, "an XML page", kAgain},
    {"PK\x03\x04"sv, "a zip container (.pt, .bin, .npz)", kConvert},
    {"PK\x05\x06"sv, "an empty zip container", kConvert},
    {"\x80\x02"sv, "a Python pickle", kConvert},
    {"\x80\x03"sv, "a Python pickle", kConvert},
    {"\x80\x04"sv, "a Python pickle", kConvert},
    {"\x80\x05"sv, "a Python pickle", kConvert},
    {"\x89HDF\r\n\x1a\n"sv, "an HDF5 container", kConvert},
    {"\x93NUMPY"sv, "a NumPy array", kConvert},
    {"GGUF"sv, "a GGUF file", "give it a name that ends in .gguf"},
    {"\x1f\x8b"sv, "a gzip archive", kUnpack},
    {"BZh"sv, "a bzip2 archive", kUnpack},
    {"\xfd"
     "7zXZ"sv,
     "an xz archive", kUnpack},
    {"\x28\xb5\x2f\xfd"sv, "a zstd archive", kUnpack},
    {"7z\xbc\xaf"sv, "a 7z archive", kUnpack},
    {"{"sv, "a JSON document", "give the file with the tensors"},
};

// Protobuf has no magic; every ONNX file starts with its version, field 1, and then a string.
bool is_onnx(std::string_view text) {
  return text.size() > 4 && text[0] == '\x08' && text[1] > 0 && text[1] < 32 && text[2] == '\x12' &&
         text.substr(3, 64).find_first_of("pP") != std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

}  // namespace

std::optional<Error> recognise_other(std::span<const std::byte> bytes, std::string_view expected) {
  constexpr size_t kLooked = 256;
  std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                        std::min(bytes.size(), kLooked));
  const auto error = [&](std::string_view what, std::string_view advice) {
    return unsupported(fmt::format("looks like {}, not {}: {}", what, expected, advice));
  };
  if (is_onnx(text)) return error("an ONNX model", kConvert);
  const size_t ink = text.find_first_not_of(" \t\r\n");
  const std::string folded = lower(text.substr(std::min(ink, text.size())));
  for (const Row& row : kRows) {
    // Text may start with blanks and in capitals, a container may not.
    const bool is_text = row.magic.front() == '<' || row.magic.front() == '{';
    if (is_text ? folded.starts_with(row.magic) : text.starts_with(row.magic))
      return error(row.what, row.advice);
  }
  return std::nullopt;
}

void refuse_other_text(std::string_view text, std::string_view expected) {
  const size_t ink = text.find_first_not_of(" \t\r\n");
  if (ink == std::string_view::npos || text[ink] == '{') return;
  if (auto other = recognise_other(std::as_bytes(std::span(text)), expected))
    throw *std::move(other);
}

}  // namespace nibble
