// A folder in memory (where the system has one) whose files are the fuzzer's.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

class Folder {
 public:
  Folder() {
    std::string name =
        std::filesystem::exists("/dev/shm") ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  /// No file where there is no content.
  void put(const std::string& name, std::string_view content) const {
    if (content.empty()) return;
    std::ofstream file(path_ + '/' + name, std::ios::binary);
    if (!file.write(content.data(), static_cast<std::streamsize>(content.size()))) std::abort();
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};
