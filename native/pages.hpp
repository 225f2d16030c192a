// Memory for pages of keys and values: many in one block, in huge pages where the system gives them, since
// a pass reads a little of each.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena.hpp"

namespace pellucid {

using Page = std::shared_ptr<std::uint8_t>;

// What is given back is taken again. A block is freed with the last of its pages. Whoever takes or drops a
// page holds the interpreter's lock, as who forks the process does: a lock of its own could be held by a
// thread that the forked process does not have.
class Pages : public std::enable_shared_from_this<Pages> {
public:
    // A page of so many bytes, whatever is in them.
    Page take(std::size_t bytes) {
        std::shared_ptr<Block> block = with_room(bytes);
        std::uint8_t* page = block->free.back();
        block->free.pop_back();
        in_use_++;
        return Page(page, [block, pages = shared_from_this()](std::uint8_t* done) {
            block->free.push_back(done);
            pages->in_use_--;
        });
    }

    long in_use() const { return in_use_; }

private:
    static constexpr std::size_t kBlock = 16 * kHugePage;

    struct Block {
        Block(std::size_t bytes, std::size_t count) : bytes(bytes), memory(in_huge_pages(bytes * count)) {
            for (std::size_t i = count; i-- > 0;) free.push_back(memory.get() + bytes * i);
        }
        const std::size_t bytes;
        const std::shared_ptr<std::uint8_t> memory;
        std::vector<std::uint8_t*> free;
    };

    std::shared_ptr<Block> with_room(std::size_t bytes) {
        for (auto place = blocks_.begin(); place != blocks_.end();) {
            const std::shared_ptr<Block> block = place->lock();
            if (block && block->bytes == bytes && !block->free.empty()) return block;
            place = block ? place + 1 : blocks_.erase(place);
        }
        auto block = std::make_shared<Block>(bytes, std::max<std::size_t>(1, kBlock / bytes));
        blocks_.push_back(block);
        return block;
    }

    std::vector<std::weak_ptr<Block>> blocks_;
    long in_use_ = 0;
};

}  // namespace pellucid
