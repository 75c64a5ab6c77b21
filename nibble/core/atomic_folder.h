// A folder that is either there in full or not there at all.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

/// A folder that appears under its name only when commit() returns. Its files are written into
/// path(), a folder OUT.partial-PID beside it that holds a marker until then; leftovers of dead
/// processes are removed first, known by the marker. While it lives, another of the same OUT, in
/// this process or any other, is an Error{io, cannot_create} ("is being written already"). The same
/// where OUT exists, unless `force`, which exchanges the two names and then removes the old one.
/// All checks that can fail early (a missing parent, no permission, OUT being a file, a symbolic
/// link or the folder that the process is in) are made by the constructor.
class AtomicFolder {
 public:
  AtomicFolder(std::string out, bool force);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  const std::string& path() const { return partial_; }
  std::string file(std::string_view name) const;
  /// Syncs everything inside, gives the folder its name and syncs that.
  void commit();

 private:
  void check() const;
  void refuse_other() const;
  void create();
  void finish_contents() const;
  void rename_into_place();

  std::string out_, partial_;
  bool force_, done_ = false;
  int lock_ = -1;   // an open descriptor of the folder, locked: says that we live
  int guard_ = -1;  // its slot in the table of temporaries
};

}  // namespace nibble
