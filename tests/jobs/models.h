// Small models on disk that jobs are tried with.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/tiny_model.h"

namespace nibble::test {

/// A model of running text: its characters have no BOS, and three more than kTinyText has.
inline std::string write_reader(const std::string& folder) {
  std::filesystem::create_directories(folder);
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText + "xyz", false);
  const DecoderConfig config = tiny_config(tokenizer);
  write_model(folder, config, random_weights(config, 3), &tokenizer);
  return folder;
}

/// Running text of the letters that such a model knows.
inline std::string reader_text() {
  std::string out;
  for (int i = 0; i < 40; ++i) out += kTinyText;
  return out;
}

inline std::string write_classifier(const std::string& folder) {
  const MlpConfig config{{784, 8, 10}};
  std::filesystem::create_directories(folder);
  write_model(folder, config, random_weights(config, 3), nullptr);
  return folder;
}

}  // namespace nibble::test
