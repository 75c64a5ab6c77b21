// Unfinished outputs: what nibble calls them, how it knows its own again, and how what killed
// processes left of them is removed.
//
// They are named PREFIX + the number of their process. A name alone proves nothing (people make
// folders, too): a folder is nibble's where it holds the marker, a file where its name says so.
#pragma once

#include <string>
#include <string_view>

#include "nibble/core/posix.h"

namespace nibble {

/// The file that marks an unfinished folder as nibble's.
inline constexpr std::string_view kUnfinishedMarker = ".nibble-unfinished";
/// "NAME.nibble.tmp.": unfinished files of NAME, which is cut where it is long.
std::string unfinished_file_prefix(const std::string& name);
/// "NAME.partial-"
std::string unfinished_folder_prefix(const std::string& name);

/// Puts the marker into a folder; false where it cannot be made.
bool mark_unfinished(const std::string& folder);

/// Removes the files PREFIX + digits in `folder` whose process is gone (or was an earlier one with
/// our number) and whose lock nobody holds.
void remove_file_leftovers(const std::string& folder, const std::string& prefix);

/// The same for folders that hold the marker, and for empty ones. Returns the path of one that a
/// living process still fills; empty where there is none.
std::string remove_folder_leftovers(const std::string& folder, const std::string& prefix);

/// Locks a descriptor for as long as it is open, which tells other processes that this one lives.
/// False where somebody else holds the lock; true also on file systems that have no locks.
bool lock_for_life(int fd);
/// The lock of the folder `path`, taken for a look around in it: waits for whoever else looks, one
/// second at most. Not where that is unfinished itself: who fills it has its lock for life.
Descriptor lock_folder_briefly(const std::string& path);

}  // namespace nibble
