# Compiler cache, fast linker, warnings and sanitizers. Nothing here depends on a project target.

find_program(TIDEGATE_CCACHE ccache)
if(TIDEGATE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TIDEGATE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${TIDEGATE_CCACHE})
  # Paths in debug information and __FILE__ are relative to the source tree, so that every clone shares one cache.
  add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
endif()

find_program(TIDEGATE_MOLD mold)
if(TIDEGATE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(TIDEGATE_SANITIZE)
  add_compile_options(-fsanitize=${TIDEGATE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TIDEGATE_SANITIZE})
endif()
# The fences that it warns of are Asio's, around handlers that a mutex orders as well. Protobuf's headers give a class two more
# members when they see the macro, but its library was built without them.
if(TIDEGATE_SANITIZE STREQUAL "thread")
  add_compile_options(-Wno-tsan -U__SANITIZE_THREAD__)
  add_compile_definitions(TIDEGATE_THREAD_SANITIZER)
endif()

# Bounds checks of the standard library stay on in every build: a gateway on the internet prefers a
# clean abort to a silent overrun, and the cost on the delivery path is below the noise.
add_compile_definitions(_GLIBCXX_ASSERTIONS)

# In a unity build (presets asan and tsan: 5 minutes instead of 27) an unnamed namespace is no longer private to a file.
if(CMAKE_UNITY_BUILD)
  add_compile_options(-Wno-subobject-linkage)
endif()

# -Wno-restrict: g++ 12 reports impossible overlaps inside of std::string at -O2 (GCC bug 105651).
#
# tidegate_target(NAME): our own targets compile with all warnings, with g++ as errors (clang, for tools/fuzz, has others); generated code
# does not.
function(tidegate_target name)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    $<$<CXX_COMPILER_ID:GNU>:-Werror;-Wno-restrict>)
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()
