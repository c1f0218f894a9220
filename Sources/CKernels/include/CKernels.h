#pragma once

#include "UpdateKernels.h"
