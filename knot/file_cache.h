// Keeps replies ready: for each file its prepared head, and its contents or an open descriptor. The
// files may be beneath several directories, which share the limits: which is used more has more.
//
// State of a path   unknown --Get--> loading --> cached
//                   cached --Get, after `valid_seconds`--> checked against the file system
//                   cached --changed--> replaced   cached --gone, or room needed--> unknown
//
// Invariants
//   F1  A File never changes. A file that changes on disk is seen by the next check, at most
//       `valid_seconds` later, and gets a new File; replies under way keep theirs alive.
//   F2  Contents and descriptors held, those of replaced Files still in use included, never exceed
//       the limits. A file for which there is no room is served from a descriptor of its own and
//       not kept.
//   F3  Only regular files beneath the root are opened. What does not exist is not remembered.
//   F4  One thread at a time loads a path that is not cached; the others wait for it.
#ifndef KNOT_FILE_CACHE_H_
#define KNOT_FILE_CACHE_H_

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "knot/allowance.h"
#include "knot/codings.h"
#include "knot/descriptor.h"
#include "knot/file.h"
#include "knot/header_rules.h"
#include "knot/lock.h"
#include "knot/mime_types.h"

namespace knot {

struct Lookup {
  int status = 0;  // 200 and `file`; 301 a directory named without its slash; 403, 404, 500, 503
  FileRef file;
  bool directory = false;  // with 403: it is a directory that has no index
};

class FileCache {
 public:
  struct Limits {
    int64_t bytes = 0;
    int64_t descriptors = 0;
    // A file of at most this size is kept in memory, a larger one as a descriptor.
    uint64_t in_memory = 0;
    // A cached file is checked against the file system when it was not for that long. At least 1.
    int32_t valid_seconds = 1;
    // Codings of which a file is looked for beside another: style.css.br beside style.css. One that
    // is older than the other is not used.
    CodingSet precompressed = {};
    // Codings made of files in memory that are text, where there is none beside.
    CodingSet compress = {};
    // Files that stand for the directory they are in, the first there is.
    std::vector<std::string> index = {"index.html"};
    // What a file's replies carry beside their own fields; null: nothing. Outlives the cache.
    const HeaderRules* headers = nullptr;
  };

  // Memory in use for compressing at a time, beside that of the cache. See Allowance.
  static constexpr int64_t kWorkingBytes = 48 << 20;

  struct Counts {
    uint64_t loads = 0;   // files opened because they were not cached or had changed
    uint64_t checks = 0;  // look-ups that asked the file system whether a cached file had changed
    uint64_t entries = 0, bytes = 0, descriptors = 0;  // now
  };

  // `root` is a directory descriptor that outlives the cache, as `types` does.
  FileCache(int root, const MimeTypes& types, Limits limits)
      : first_(root), types_(types), limits_(std::move(limits)) {}

  // Adds another root. Returns: its number; that of the first is 0. Requires: nobody calls Get yet.
  int AddRoot(int root);

  // Finds what `path` names, relative to the root of that number; where it is empty or ends in '/',
  // the index there. `now` is a clock in seconds, never 0. Blocks: this thread, while the file is
  // loaded or checked or compressed. Callers: any thread. `accepted`, where not null, says in which
  // codings the file may be sent; of those there are, or can be made, the best is found. While one
  // thread makes it, others get the file as it is.
  Lookup Get(absl::string_view path, uint32_t now, const AcceptedCodings* accepted = nullptr,
             int root = 0);

  // Finds what `path` names, relative to the first root, if that takes no disk: for a thread that
  // must not wait, while others use Get.
  //
  // Returns: false where it is not cached, has changed, or the file system does not have at hand
  // whether it has.
  bool TryGet(absl::string_view path, uint32_t now, FileRef* file);

  Counts GetCounts() const;

  // Forgets all files. Those being sent stay as long as they are.
  void Clear();

 private:
  // A file in other codings.
  struct Variants {
    CodingSet available;  // those that are not there yet are made when they are asked for
    CodingSet making;
    FileRef coded[kCodings];
  };
  struct Tree;
  struct Node {
    Tree* tree;
    std::string path;
    FileRef file;
    uint32_t checked;                    // the second of the last check
    bool used;                           // since the hand of the clock last passed
    std::unique_ptr<Variants> variants;  // null where there can be none
  };
  using Nodes = std::list<Node>;

  // A file that one thread loads and others wait for. Each has a condition of its own: at the start
  // of a busy server thousands wait, for hundreds of files.
  struct Loading {
    std::mutex mutex;
    std::condition_variable ended;
    bool over = false;
    Lookup result;
  };

  // What is kept, and loaded, of what is beneath one root. Guarded by mutex_.
  struct Tree {
    explicit Tree(int descriptor) : root(descriptor) { by_path.reserve(kReservedPaths); }

    // The table does not survive that there is no memory for it to grow, so it starts with room for
    // as many paths as most sites have.
    static constexpr size_t kReservedPaths = 1024;

    const int root;
    absl::flat_hash_map<absl::string_view, Nodes::iterator> by_path;  // keys are Node::path
    std::map<std::string, std::shared_ptr<Loading>, std::less<>> loading;
  };

  // The kernel's answer to opening a path.
  struct Opened {
    int status = 404;
    bool missing = false;    // with 404: there is no entry of that name
    bool directory = false;  // with 403: one without an index
    Descriptor descriptor;
    struct stat stat;
  };
  struct Siblings {
    Opened coded[kCodings];
  };

  bool IsValid(const Node& node, uint32_t now) const {
    return static_cast<int32_t>(now - node.checked) < limits_.valid_seconds;
  }
  Tree& TreeOf(int root) { return root == 0 ? first_ : *others_[root - 1]; }
  Opened OpenFirst(const Tree& tree, absl::string_view path, std::string* name);
  Opened Open(const Tree& tree, const std::string& name, bool index);
  static Opened WithoutIndex(const Tree& tree, absl::string_view path);
  Siblings OpenSiblings(const Tree& tree, const std::string& name, const Opened& opened) const;
  bool SameSiblings(const Tree& tree, absl::string_view path, const FileRef& file,
                    const Siblings& siblings);
  FileRef Select(Node& node, const AcceptedCodings* accepted, Coding* to_make);
  Lookup Choose(const Tree& tree, absl::string_view path, const Lookup& found,
                const AcceptedCodings& accepted);
  FileRef MakeCoded(const Tree& tree, absl::string_view path, const FileRef& plain, Coding coding);
  FileRef TryMakeCoded(const File& plain, Coding coding);
  Lookup LoadAlone(Tree& tree, absl::string_view path, uint32_t now);
  Lookup Load(Tree& tree, absl::string_view path, const FileRef& old, uint32_t now);
  std::shared_ptr<File> Prepare(Opened& opened, std::string name, absl::string_view type,
                                Coding coding, bool varies);
  bool CanCompress(const Opened& opened, absl::string_view type) const;
  std::string FieldsOf(const std::string& name) const;
  int ReadContents(File& file, int descriptor);
  bool Reserve(File& file, int64_t bytes, int64_t descriptors);
  bool EvictOne();
  void Keep(Tree& tree, absl::string_view path, const FileRef& file,
            std::unique_ptr<Variants> variants, uint32_t now);
  void Forget(Tree& tree, absl::string_view path, const FileRef& file);

  Tree first_;
  std::vector<std::unique_ptr<Tree>> others_;
  const MimeTypes& types_;
  const Limits limits_;
  CacheUse use_;
  Allowance working_{kWorkingBytes};
  std::atomic<uint64_t> loads_{0};
  std::atomic<uint64_t> checks_{0};

  // Held for look-ups and changes of the lists, never over opening or reading a file.
  mutable Lock mutex_;
  Nodes nodes_;  // of all trees. The clock: its hand is at the front
};

// Opens `path` beneath the directory `root` for reading, never outside of it, not by symbolic links
// either. With `cached` only if that takes no disk, else -EAGAIN. Returns: a descriptor or -errno.
// Source: openat2(2), RESOLVE_BENEATH, RESOLVE_CACHED.
int OpenBeneath(int root, const char* path, bool cached = false);

}  // namespace knot

#endif  // KNOT_FILE_CACHE_H_
