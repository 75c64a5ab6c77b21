// Quantize one tensor every basic way, and see what each costs.
//
// A weight is stored as a small whole number, its code, and a scale: weight = code * scale. This
// program makes a matrix like those of a trained model (a bell curve, one louder row, a few large
// values) and prints, for each scheme, how many bits a weight takes and how far it moved.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/rtn.h"
#include "nibble/report/table.h"

namespace {

constexpr int64_t kOutputs = 64, kInputs = 256;

nibble::Tensor make_weight() {
  nibble::PyRandom random(42);
  std::vector<float> values(kOutputs * kInputs);
  for (float& v : values) v = static_cast<float>(random.gauss(0, 0.05));
  for (int64_t i = 0; i < kInputs; ++i) values[3 * kInputs + i] *= 6;  // a loud output channel
  for (int64_t i = 0; i < 8; ++i) values[random.below(values.size())] = 0.9f;  // outliers
  return nibble::Tensor::from<float>({kOutputs, kInputs}, values);
}

struct Errors {
  double mean_square = 0, largest = 0;
};

Errors compare(const nibble::Tensor& original, const nibble::Tensor& restored) {
  const auto a = original.data<float>(), b = restored.data<float>();
  Errors out;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    out.mean_square += error * error;
    out.largest = std::max(out.largest, error);
  }
  out.mean_square /= static_cast<double>(a.size());
  return out;
}

/// How much louder the weights are than the error, in decibels: 6 dB is about one bit.
double signal_to_noise(const nibble::Tensor& w, double mean_square) {
  double power = 0;
  for (const float v : w.data<float>()) power += static_cast<double>(v) * v;
  return 10 * std::log10(power / static_cast<double>(w.elements()) / mean_square);
}

/// Every width, shared by the whole tensor, by a row, or by 32 weights; around 0 or with a zero
/// point.
std::vector<std::string> schemes() {
  std::vector<std::string> out;
  for (int bits = 8; bits >= 2; --bits) {
    for (const char* sharing : {":tensor", ":channel", ":g32"}) {
      out.push_back(fmt::format("int{}{}", bits, sharing));
      out.push_back(out.back() + ":asym");
    }
  }
  out.push_back("ternary:g32");
  return out;
}

}  // namespace

int main() try {
  const nibble::Tensor w = make_weight();
  nibble::TerminalTable table({{"scheme"},
                               {"bits/weight"},
                               {"smaller"},
                               {"mean sq. error"},
                               {"largest error"},
                               {"SNR, dB"}});
  for (const std::string& text : schemes()) {
    const nibble::QuantScheme scheme = nibble::parse_scheme(text);
    const nibble::QuantizedTensor q = nibble::quantize_rtn(w, scheme, {}, "example");
    // dequantize() is what a QuantizedTensor means; fast kernels give the same without this detour.
    const Errors errors = compare(w, nibble::dequantize(q));
    const double bits = nibble::bits_per_weight(q);
    table.add({text, fmt::format("{:.2f}", bits), fmt::format("{:.1f}x", 32 / bits),
               fmt::format("{:.2e}", errors.mean_square), fmt::format("{:.4f}", errors.largest),
               fmt::format("{:.1f}", signal_to_noise(w, errors.mean_square))});
  }
  fmt::print("One matrix of {} x {} f32 weights ({} bytes), quantized every basic way:\n\n{}",
             kOutputs, kInputs, w.bytes(), table.render(100));
  fmt::print(
      "\nOne bit less makes the steps twice as wide and the squared error about four times as "
      "large.\n"
      "Sharing a scale among fewer weights wins some of that back: outliers and the loud row then\n"
      "spoil only their own neighbours, for a little more to store.\n");
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "quantize_tensor: {}\n", error.what());
  return 1;
}
