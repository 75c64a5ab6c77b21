// One small Llama as a folder, written in formats and converted between them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "nibble/compress/convert.h"
#include "nibble/compress/quantize.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble::test {

class OutputFolders : public testing::Test {
 protected:
  OutputFolders() {
    write_tiny_decoder(tiny_decoder(blocky_decoder_config(2), 9), folder_ / "in");
    options_.calibration.samples = 4;
  }
  QuantizeResult quantized(const std::string& out, const std::string& scheme,
                           const std::vector<std::string>& formats) {
    QuantizeOptions o = options_;
    o.scheme = parse_scheme(scheme);
    for (const std::string& name : formats) o.formats.push_back(parse_output_format(name));
    return quantize_model(folder_ / "in", folder_ / out, o, {});
  }
  ConvertResult converted(const std::string& in, const std::string& out,
                          const std::string& format) const {
    ConvertOptions o;
    o.format = parse_output_format(format);
    return convert_model(folder_ / in, folder_ / out, o, {});
  }
  void expect_same(const std::string& a, const std::string& b) const {
    const Model x = open_model(folder_ / a), y = open_model(folder_ / b);
    for (const ParamSpec& p : parameter_table(x.config))
      EXPECT_EQ(x.weights->get(p.name).values(), y.weights->get(p.name).values()) << b << p.name;
  }
  std::string stored_in(const std::string& path) const {
    return scheme_summary(open_model(folder_ / path));
  }
  bool nothing_made() const { return folder_.size() == 1; }

  const TempFolder folder_;
  QuantizeOptions options_;  // what quantized() is told besides
};

}  // namespace nibble::test
