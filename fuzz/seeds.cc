// fuzz_seeds FOLDER writes FOLDER/TARGET/N, the inputs to begin with.
#include "fuzz/seeds.h"

#include <filesystem>
#include <fstream>

namespace {

void write(const std::filesystem::path& folder, const Seeds& seeds) {
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < seeds.size(); ++i) {
    std::ofstream file(folder / std::to_string(i), std::ios::binary);
    file.write(seeds[i].data(), static_cast<std::streamsize>(seeds[i].size()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  for (const auto& seeds : {text_seeds(), file_seeds(), model_seeds()}) {
    for (const auto& [target, inputs] : seeds)
      write(std::filesystem::path(argv[1]) / target, inputs);
  }
  return 0;
}
