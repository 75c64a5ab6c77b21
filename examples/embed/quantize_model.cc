// quantize_model MODEL OUT [SCHEME [METHOD]]: makes a smaller copy of a model, and says what that
// cost on a text that the model itself writes. Ctrl-C stops it, and nothing is left behind.
#include <nibble/nibble.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

namespace {

nibble::Stop* g_stop = nullptr;

void on_interrupt(int signal) { g_stop->request(signal); }

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: quantize_model MODEL OUT [SCHEME [METHOD]]\n");
    return 64;
  }
  nibble::Control control;
  control.progress = [](const nibble::Progress& p) {
    std::fprintf(stderr, "\r%.*s %lld/%lld ", static_cast<int>(p.task.size()), p.task.data(),
                 static_cast<long long>(p.done), static_cast<long long>(p.total));
  };
  control.warning = [](std::string_view line) {
    std::fprintf(stderr, "\nwarning: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  g_stop = &control.stop;
  std::signal(SIGINT, on_interrupt);

  nibble::QuantizeOptions options;
  options.scheme = argc > 3 ? argv[3] : "int8";
  options.method = argc > 4 ? argv[4] : "rtn";
  const nibble::Quantized made = nibble::quantize(argv[1], argv[2], options, control);
  std::printf("\n%s: %lld bytes of %lld, %.2f bits a weight\n", made.written.front().c_str(),
              static_cast<long long>(made.file_bytes),
              static_cast<long long>(made.input_file_bytes), made.bits_per_weight);

  const nibble::Compared compared = nibble::compare({argv[1], argv[2]}, {.runs = 1}, control);
  std::printf("%s", compared.text.c_str());
  return 0;
} catch (const nibble::Error& error) {
  std::fprintf(stderr, "\nquantize_model: %s: %s\n",
               std::string(nibble::to_string(error.kind())).c_str(), error.what());
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "\nquantize_model: %s\n", error.what());
  return 1;
}
