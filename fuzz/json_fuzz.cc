#include "nibble/core/error.h"
#include "nibble/core/json.h"

// Nothing but an Error may come out of any text; a flat table of it reads back without surprise.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    nibble::JsonHandler handler;
    nibble::parse_json(text, handler);
    const auto fields = nibble::JsonFields::parse(text);
    for (const std::string& key : fields.keys("")) (void)fields.has_section(key);
  } catch (const nibble::Error&) {
  }
  return 0;
}
