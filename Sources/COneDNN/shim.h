// oneDNN's C API. Sources/Neural/OneDNN is the only folder that calls it.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR != 2
#error "Freewheel calls the C API of oneDNN 2.x, and this is another major version: install libdnnl-dev 2.x (Debian 12)"
#endif
