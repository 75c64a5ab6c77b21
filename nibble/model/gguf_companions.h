// What comes with the weights of a GGUF file: everything in its metadata.
#pragma once

#include <memory>
#include <string>

#include "nibble/format/gguf_file.h"
#include "nibble/model/companions.h"

namespace nibble {

/// Tokenizer and chat template of a file. Where its metadata have no tokenizer, those of the folder
/// that it lies in.
std::shared_ptr<const Companions> gguf_companions(std::shared_ptr<const GgufFile> file,
                                                  const std::string& path);
/// The same of a file whose header alone need be there.
std::shared_ptr<const Companions> gguf_companions(const std::string& path);

/// What is doubtful about the tokenizer, a line for people; empty: nothing.
std::string tokenizer_doubt(const GgufMetadata& metadata);

}  // namespace nibble
