// The shape of a chat template: what its text says, whatever way it is spaced and quoted. Two
// templates of one shape render the same; nothing of a template is ever executed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

/// The words of a Jinja template in one spelling: text between tags after trimming (as transformers
/// renders: trim_blocks, lstrip_blocks, "-" marks), strings unescaped, x['name'] as x.name,
/// comments and white space between words left out. Linear in the text, no recursion. What is no
/// template (a tag or string without its end) keeps its rest as text.
std::string template_shape(std::string_view text);

/// XXH3 (64 bits) of template_shape().
uint64_t template_fingerprint(std::string_view text);

}  // namespace nibble
