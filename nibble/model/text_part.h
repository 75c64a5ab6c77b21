// The text part of a model that reads images or sound as well: what its config.json says of it
// stands in an object of its own, "text_config".
#pragma once

#include <string>
#include <string_view>

namespace nibble {

/// The config.json of the text part alone, with what the outer one says of all parts (types, ties,
/// special tokens, quantization); a config.json without such an object as it is. Error{corrupt}
/// where it is no JSON object.
std::string text_part(std::string_view config);

}  // namespace nibble
