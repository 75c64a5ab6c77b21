#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/jinja.h"
#include "nibble/text/utf8.h"

namespace {

// Of a JSON object its members; nothing of anything else.
std::vector<nibble::TemplateVariable> variables_of(std::string_view json) {
  nibble::JsonTreeBuilder builder;
  nibble::parse_json(json, builder);
  std::vector<nibble::TemplateVariable> out;
  for (const nibble::JsonNode& child : builder.root.children)
    out.push_back({child.key, child, child.key != "bos_token"});
  return out;
}

}  // namespace

// A template and its variables. What it makes is valid UTF-8, bounded by what it is given, the same
// each time, and no two stretches that lie side by side are of one kind.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [json, source] = parts_of<2>(data, size);
  try {
    const auto variables = variables_of(json);
    const auto program = nibble::ChatProgram::parse(source);
    const auto made = program.render(variables, std::tm{});
    size_t bytes = 0;
    for (const nibble::TemplateText& part : made) {
      bytes += part.text.size();
      if (part.text.empty() || !nibble::is_utf8(part.text)) __builtin_trap();
    }
    if (bytes > (size_t{25} << 20) + 50 * json.size() * 16) __builtin_trap();
    const auto again = program.render(variables, std::tm{});
    if (again.size() != made.size()) __builtin_trap();
  } catch (const nibble::Error&) {
  }
  return 0;
}
